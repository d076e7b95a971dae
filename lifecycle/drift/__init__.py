"""Has the world moved?"""
