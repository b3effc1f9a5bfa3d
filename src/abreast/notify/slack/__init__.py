"""Slack is told: by an incoming webhook, or by a bot that keeps one message for each deployment."""
