"""From answers to transcripts: records, the outbox and the sinks."""
