"""The ramp: buy and sell sessions, their transactions, the providers behind them."""
