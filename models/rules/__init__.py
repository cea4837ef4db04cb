"""The rule book, a chapter for each stage of an execution's life; `models.decide` opens the right one."""
