"""An embedded CloudIndex for development, demo and tests. Never a part of what runs in production.

It shares nothing with the client that it tests: neither ``cloudindex_provider.api`` nor ``.sync`` is imported here.
"""
