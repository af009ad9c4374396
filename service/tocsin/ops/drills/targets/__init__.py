"""What drills can be run against, each as `target` says: two regions of this machine, on either kind of engine."""
