"""Problems for hposvc, as examples."""
