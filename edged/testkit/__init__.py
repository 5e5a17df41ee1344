"""Parts that only tests, the demo and benchmarks use: a scripted engine, faults on request, a virtual microphone."""
