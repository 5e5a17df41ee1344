"""Transcripts: record building, the outbox, delivery to sinks, and reconciliation after a crash."""
