"""The wire formats, one file each: they translate, the engine answers.

To add one: write a file with its routes, and add them to `lifecycle.serve.app.ROUTES`.
"""
