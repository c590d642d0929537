"""Private and fast-moving parts of libraries, one module per library. `tests/_compat` shows which part changed."""
