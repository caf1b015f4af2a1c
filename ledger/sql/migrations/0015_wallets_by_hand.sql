-- What an operator does to a wallet in SQL is in its history too. `UPDATE ai_wallets SET balance = …` becomes an
-- adjustment, so does the balance of a wallet that is inserted; what would leave a history that does not lead to its
-- balance is refused.
--
-- Told apart by this: Farebox moves transaction_count together with the balance and writes that many lines in the same
-- statement, in this version and in those before. Posting is not asked to prove it (farebox.posting, as in 0004), so that
-- it pays nothing. A restore of data alone needs --disable-triggers, which pg_restore has for that.

CREATE FUNCTION farebox_adjust_by_hand() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- What the wallet's CHECK refuses, it shall refuse itself.
    IF NEW.balance NOT BETWEEN -NEW.overdraft AND 9000000 THEN
        RETURN NEW;
    END IF;
    NEW.transaction_count := OLD.transaction_count + 1;
    INSERT INTO ai_transactions (wallet_id, user_id, seq, type, amount, balance_before, balance_after, description, metadata)
    VALUES (OLD.id, OLD.user_id, NEW.transaction_count, 'adjustment', NEW.balance - OLD.balance, OLD.balance, NEW.balance,
        'changed in SQL by ' || session_user, jsonb_build_object('by', 'sql:' || session_user));
    RETURN NEW;
END $$;
CREATE TRIGGER adjust_by_hand BEFORE UPDATE ON ai_wallets
    FOR EACH ROW WHEN (NEW.balance <> OLD.balance AND NEW.transaction_count = OLD.transaction_count
        AND NEW.id = OLD.id AND NEW.user_id = OLD.user_id)
    EXECUTE FUNCTION farebox_adjust_by_hand();

CREATE FUNCTION farebox_must_have_lines() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    lines bigint;
    total numeric;
BEGIN
    SELECT count(*), coalesce(sum(amount), 0) INTO lines, total
    FROM ai_transactions
    WHERE wallet_id = NEW.id AND seq > OLD.transaction_count AND seq <= NEW.transaction_count;
    IF NEW.transaction_count < OLD.transaction_count
        OR (lines, total) <> (NEW.transaction_count - OLD.transaction_count, NEW.balance - OLD.balance) THEN
        RAISE EXCEPTION 'wallet %: transaction_count counts the lines of its history and is not changed by hand: change the balance alone', NEW.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER must_have_lines AFTER UPDATE ON ai_wallets
    FOR EACH ROW WHEN ((NEW.balance <> OLD.balance OR NEW.transaction_count <> OLD.transaction_count)
        AND current_setting('farebox.posting', true) IS DISTINCT FROM '1')
    EXECUTE FUNCTION farebox_must_have_lines();

CREATE FUNCTION farebox_refuse_by_hand() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER keep_its_ids BEFORE UPDATE ON ai_wallets
    FOR EACH ROW WHEN (NEW.id <> OLD.id OR NEW.user_id <> OLD.user_id)
    EXECUTE FUNCTION farebox_refuse_by_hand('a wallet keeps its id and its user: its history names both');
CREATE TRIGGER keep_its_history BEFORE DELETE ON ai_wallets
    FOR EACH ROW WHEN (OLD.transaction_count > 0)
    EXECUTE FUNCTION farebox_refuse_by_hand('a wallet with a history is not deleted: freeze it');
CREATE TRIGGER keep_all_histories BEFORE TRUNCATE ON ai_wallets
    FOR EACH STATEMENT EXECUTE FUNCTION farebox_refuse_by_hand('wallets are not truncated: their histories are append-only');

-- The line of a new wallet's balance refers to the wallet, which must be there first: counted before, written after.
CREATE FUNCTION farebox_count_first_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.transaction_count <> 0 THEN
        RAISE EXCEPTION 'a new wallet has no history: insert it with transaction_count 0' USING ERRCODE = 'restrict_violation';
    END IF;
    NEW.transaction_count := 1;
    RETURN NEW;
END $$;
CREATE TRIGGER count_first_line BEFORE INSERT ON ai_wallets
    FOR EACH ROW WHEN (NEW.balance <> 0 OR NEW.transaction_count <> 0)
    EXECUTE FUNCTION farebox_count_first_line();
CREATE FUNCTION farebox_write_first_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ai_transactions (wallet_id, user_id, seq, type, amount, balance_before, balance_after, description, metadata)
    VALUES (NEW.id, NEW.user_id, 1, 'adjustment', NEW.balance, 0, NEW.balance,
        'changed in SQL by ' || session_user, jsonb_build_object('by', 'sql:' || session_user));
    RETURN NULL;
END $$;
CREATE TRIGGER write_first_line AFTER INSERT ON ai_wallets
    FOR EACH ROW WHEN (NEW.balance <> 0)
    EXECUTE FUNCTION farebox_write_first_line();

-- Who may write a wallet need not have rights on histories: as the owner, then. session_user stays who it is.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['farebox_adjust_by_hand', 'farebox_must_have_lines', 'farebox_write_first_line'] LOOP
        EXECUTE format('ALTER FUNCTION %I() SECURITY DEFINER SET search_path = %I, pg_temp', name, current_schema());
    END LOOP;
END $$;
