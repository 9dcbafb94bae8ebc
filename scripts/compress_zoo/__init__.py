"""Does ``mgic_geo.compress`` take networks that no one here wrote? Programs, not tests."""
