"""Clients of others, as they are, against a running stack: `make clients-test` installs them and runs these tests."""
