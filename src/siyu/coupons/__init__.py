"""Coupons, price rules, quotes and locks: what a basket costs a person, and what is set aside for it.

Templates and price rules are data; a quote is a pure function of basket and offers (`quote.priced`); a lock sets a
coupon, points, budgets and entitlements aside in one transaction and ends as committed, released or expired. Points and
budgets are accounts of the ledger, a coupon is a row with guarded UPDATEs (decision 0310).

Invariants: 0 ≤ payable ≤ list; shares of lines sum up to every discount; issued ≤ total; a coupon is redeemed at most
once; what is set aside is either used or comes back, exactly one of them.

For the room above (all take the raw asyncpg connection of the caller's transaction):
    actions.quote(connection, pricing, request, now, hold=True)     what it costs; the person is locked till the commit
    locks.lock / commit / release / rollback                        set aside, use, give back
"""
