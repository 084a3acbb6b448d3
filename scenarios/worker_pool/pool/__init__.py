"""The worker pool itself: nodes, workers, dispatch, and the clean-up of the dead."""
