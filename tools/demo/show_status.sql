-- Can all this be trusted? At rest: captured = stored + pending + all that was dropped.
SELECT captured, stored, pending, dropped,
       CASE WHEN captured = stored + pending + dropped THEN 'yes' ELSE 'NO' END AS "adds up",
       unclean AS "unclean starts"
FROM (SELECT sum(value) FILTER (WHERE name = 'captured') AS captured,
             sum(value) FILTER (WHERE name = 'stored') AS stored,
             sum(value) FILTER (WHERE name = 'pending') AS pending,
             sum(value) FILTER (WHERE name LIKE 'dropped%') AS dropped,
             sum(value) FILTER (WHERE name = 'unclean_starts') AS unclean
      FROM perfkit.status) AS s;
