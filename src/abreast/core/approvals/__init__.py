"""Who has to agree to a deployment: the rule, what they are shown, and the link that answers for one of them."""
