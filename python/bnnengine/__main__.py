"""`python -m bnnengine` is the command line."""

from bnnengine.cli import main

raise SystemExit(main())
