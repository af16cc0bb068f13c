"""Pictures and the words for them: data sets, captions, judges, networks of other libraries."""
