"""The tests, file for file as in harness/, and the tests about the project itself."""
