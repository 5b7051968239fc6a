"""The Alpaca-shaped facade of oms: the same orders in the words of Alpaca's trading API."""
