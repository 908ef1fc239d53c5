-- What has to be true of the job table at any moment, on SQLite and PostgreSQL. Each row of the answer is an
-- inconsistency.
SELECT 'a job in no known state' AS broken, id FROM jobs
 WHERE state NOT IN ('queued', 'running', 'succeeded', 'failed', 'canceled', 'expired')
UNION ALL
SELECT 'a running job that nobody holds', id FROM jobs
 WHERE state = 'running' AND (owner IS NULL OR lease_until IS NULL OR attempt < 1)
UNION ALL
SELECT 'a job that is held and not running', id FROM jobs
 WHERE state <> 'running' AND (owner IS NOT NULL OR lease_until IS NOT NULL)
UNION ALL
SELECT 'a succeeded job without a result', id FROM jobs
 WHERE state = 'succeeded' AND (result_key IS NULL OR result_sha256 IS NULL)
UNION ALL
SELECT 'a result of a job that has not succeeded', id FROM jobs
 WHERE state <> 'succeeded' AND result_key IS NOT NULL
UNION ALL
SELECT 'a result that will be deleted', jobs.id FROM jobs JOIN garbage ON garbage.key = jobs.result_key
UNION ALL
SELECT 'pictures of an open job that will be deleted', jobs.id FROM jobs JOIN garbage
    ON garbage.key = 'inputs/' || jobs.id || '/content'
 WHERE jobs.state IN ('queued', 'running')
UNION ALL
SELECT 'two jobs with one result', result_key FROM jobs
 WHERE result_key IS NOT NULL GROUP BY result_key HAVING count(*) > 1
UNION ALL
SELECT 'a failed job that does not say why', id FROM jobs
 WHERE state = 'failed' AND error_code IS NULL
UNION ALL
SELECT 'a job that has ended, at no time', id FROM jobs
 WHERE state NOT IN ('queued', 'running') AND finished IS NULL
UNION ALL
SELECT 'an open job that has ended', id FROM jobs
 WHERE state IN ('queued', 'running') AND finished IS NOT NULL
UNION ALL
SELECT 'a waiting job that nobody may take', id FROM jobs
 WHERE state = 'queued' AND (cancel_requested OR attempt >= max_attempts)
UNION ALL
SELECT 'more attempts than allowed', id FROM jobs
 WHERE attempt > max_attempts
UNION ALL
SELECT 'a message about an open job', jobs.id FROM jobs JOIN outbox ON outbox.job_id = jobs.id
 WHERE jobs.state IN ('queued', 'running') AND outbox.state <> 'delivered' AND outbox.state <> 'failed'
UNION ALL
SELECT 'something left of a job that has expired', id FROM jobs
 WHERE state = 'expired' AND (result_key IS NOT NULL OR preview_key IS NOT NULL OR idempotency_key IS NOT NULL)
