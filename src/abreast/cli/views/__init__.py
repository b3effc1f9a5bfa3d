"""Drawing: values in, texts and tables out."""
