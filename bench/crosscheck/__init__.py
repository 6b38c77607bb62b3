"""A second instrument in C that shares no code with the bench, and the command that holds the two together."""
