"""Who answers, and what is proven?"""
