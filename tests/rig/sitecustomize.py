"""Python reads this file when it starts: it puts the rigging into every process of a toy rehearsal."""

import os

if os.environ.get("PREREG_RIG"):
    import rigging

    rigging.install()
