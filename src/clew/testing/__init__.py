"""
For tests: what a store must keep, as a class to inherit.

`store_contract` needs pytest and hypothesis, so it is imported only by those who have them.
"""
