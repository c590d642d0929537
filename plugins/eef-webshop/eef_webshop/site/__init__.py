"""The real WebShop as an environment: goals, pages and rewards of the reference text environment."""
