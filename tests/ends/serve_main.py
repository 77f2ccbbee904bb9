"""`siyu serve` around the stand-in app: `serve_main.py ROLE WORKERS`; prints one JSON line when ready."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from siyu.errors import SiyuError
from siyu.serve import serve
from siyu.settings import load_settings

APP = [sys.executable, str(Path(__file__).with_name("serve_app.py"))]


def ready(url: str, shown: object) -> None:
    heavy = sorted({name.partition(".")[0] for name in sys.modules} & {"litestar", "pyarrow", "sqlalchemy", "chdb"})
    print(json.dumps({"url": url, "shown": shown, "heavy": heavy}), flush=True)


try:
    serve(load_settings(), role=sys.argv[1], workers=int(sys.argv[2]), app=APP, on_ready=ready)  # type: ignore[arg-type]
except SiyuError as error:
    print(json.dumps({"code": error.code, "message": str(error)}), flush=True)
    sys.exit(1)
