"""Whether a page only reads its session, found out by its code: it needs no lock then, and waits for nobody."""
