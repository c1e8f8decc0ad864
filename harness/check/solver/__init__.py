"""The decision rule as a formula for an SMT solver. Imports z3 only where a question is asked."""
