"""Is a candidate good enough?"""
