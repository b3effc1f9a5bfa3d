"""Reports: JUnit tests, coverage, findings of scanners, SARIF, bills of materials."""
