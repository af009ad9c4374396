"""Stage two of the notifier: bundles become messages, messages go to providers, each ends in one word."""
