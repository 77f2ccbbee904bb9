"""The API's own face: tokens, problem details, health, the stream's state, dead letters, the test clock.

Rooms bring their own routes (`<room>/http.py`); `app.py` puts them together.
"""
