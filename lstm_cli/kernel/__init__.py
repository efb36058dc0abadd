"""A cell's table made into fast code: the plan, and the engines that run it."""
