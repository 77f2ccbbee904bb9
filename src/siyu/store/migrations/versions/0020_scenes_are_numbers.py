"""A scene of WeChat is its number alone, whichever SDK told it (Sensors: wx-1047)."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Touches stored so far, as `profile.scenes.bare_scene` keeps them now."""
    op.execute(
        """UPDATE touches SET fields = regexp_replace(fields, '"scene":"wx-([0-9]+)"', '"scene":"\\1"')"""
        """ WHERE strpos(fields, '"scene":"wx-') > 0"""
    )
