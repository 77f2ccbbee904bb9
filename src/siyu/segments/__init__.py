"""Segments (人群): rules over persons that are kept, and who fulfils them.

Not here: the language (rules) and what is known of persons (profile, events).
"""
