"""What a user sees: the command line and the page."""

import os

# Gradio reads this when it is imported, and would report the app's start to its makers.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
