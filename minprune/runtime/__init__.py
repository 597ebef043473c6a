"""Programs: a network compiled for one batch size. Read `folding`, `steps`, `building`, `program`, in this order."""
