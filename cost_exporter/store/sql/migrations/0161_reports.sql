-- A report that is due is delivered as an alert is: the key makes one of each period, however many services run.
alter table callfare.alert drop constraint alert_kind_check;
alter table callfare.alert add constraint alert_kind_check check (kind ~ '^[a-z_]{1,40}$');
