"""The two doors to the outside, log and store: what stands behind them, and the fault switch."""
