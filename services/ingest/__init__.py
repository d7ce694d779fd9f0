"""Ingest: where organisations publish who they are and what they need. Owns members, contacts, needs, ambassadors."""
