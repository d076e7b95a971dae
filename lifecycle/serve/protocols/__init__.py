"""The wire formats, one file each: they translate, the engine answers.

To add one: write a file with `routes(service)`, which gives its `Route`s, and add a row to
`lifecycle.serve.app.PROTOCOLS`.
"""
