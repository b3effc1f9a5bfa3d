"""What a static site answers, by its files and its rules: `_redirects`, `_headers` and `netlify.toml`."""
