-- Say whether holds can be taken and released.
-- ARGV: the prefix only
-- Reads only. Returns 1 or 0

return open() and 1 or 0
