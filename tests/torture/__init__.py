"""Long trials of the promises: many kills, power cuts, contended orders, damaged stores, histories. Short forms run with every test."""
