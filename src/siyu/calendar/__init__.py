"""Which days are holidays and which are worked: as the state publishes it once a year, as an operator corrects it.

A year is known as a whole or not at all: of a year without days nothing is said, neither holiday nor working day. What
is published comes with the software; a year that the brand has stored of its own stands before it.
"""
