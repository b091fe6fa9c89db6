"""Files and options of a refinement: where RELION's names meet the engine's records."""
