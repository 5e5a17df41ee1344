"""A local server that speaks Deepgram's live protocol: for trying edged out, for tests, for sites without a cloud."""
