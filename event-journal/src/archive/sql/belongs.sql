SELECT format('ALTER TABLE events OWNER TO %I', pg_get_userbyid(relowner))
FROM pg_class WHERE oid = 'events'::regclass
UNION ALL
SELECT format('ALTER TABLE events SET (%s)', array_to_string(reloptions, ', '))
FROM pg_class WHERE oid = 'events'::regclass AND reloptions IS NOT NULL
UNION ALL
SELECT format('GRANT %s ON events TO %s%s', privilege_type,
              CASE grantee WHEN 0 THEN 'PUBLIC'
                           ELSE quote_ident(pg_get_userbyid(grantee)) END,
              CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM pg_class, aclexplode(relacl)
WHERE oid = 'events'::regclass AND grantee <> relowner
UNION ALL
SELECT pg_get_triggerdef(oid) FROM pg_trigger
WHERE tgrelid = 'events'::regclass AND NOT tgisinternal
