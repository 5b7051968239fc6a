"""An exchange floor on the virtual clock: the real services, one order at a time, and what a counterparty would hear of it in FIX."""
