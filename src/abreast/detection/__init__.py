"""What a repository says about how it is built, run, tested and migrated, as a draft of abreast.yml."""
