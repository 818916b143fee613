"""How experiments fare: what pruning saves, and how long the page of a thousand trials takes."""
